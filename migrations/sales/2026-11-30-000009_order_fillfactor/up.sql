-- Room on each page for a second version of every order. A batch of steps changes all orders of a page at once; without the
-- room, most new versions go to another page, with an entry in each of the four indexes. Pages that exist are not changed.
ALTER TABLE sales.orders SET (fillfactor = 50);
